"""Every error that a caller can meet, in one tree.

PenstockError
├── InvalidRequest            400  the request cannot be served as it stands
│   ├── UnsupportedParameter  400  a parameter we will not silently ignore
│   ├── NotFound              404  no such thing for this caller
│   ├── TooLarge              413  over a stated limit
│   └── Conflict              409  the thing is not in a state that allows this
├── Unauthenticated           401  no key, or not a valid one
├── Forbidden                 403  the key may not do this
├── Overloaded            503  refused early, with Retry-After
│   └── RateLimited           429  this caller's own limit
├── DeadlineExceeded          504  the time ran out before this stage
├── StageUnavailable          503  a stage that the answer needs is down
├── Setup                     the installation is not usable as it is: says what to do
│   ├── BadSetting            a setting is unknown or has a wrong value
│   ├── DataInUse             another process holds the data folder
│   ├── DataDamaged           the data folder cannot be read
│   ├── DiskFull              no room to write
│   ├── PortBusy              the address is taken
│   └── ModelMissing          no weights in a folder, in the cache or on the hub
└── BadDocument               one file cannot be ingested; carries its FailureReason
"""

from __future__ import annotations

from penstock.core.types import FailureReason


class PenstockError(Exception):
    """Base. `message` is for people and says what to do; `code` is for programs and never changes."""

    status: int = 500
    code: str = "internal_error"
    type: str = "server_error"

    def __init__(self, message: str, *, param: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.param = param


class InvalidRequest(PenstockError):
    """The request cannot be served as it stands. `param` names the field."""

    status = 400
    code = "invalid_value"
    type = "invalid_request_error"

    def __init__(self, message: str, *, param: str | None = None, code: str | None = None) -> None:
        super().__init__(message, param=param)
        if code is not None:
            self.code = code


class UnsupportedParameter(InvalidRequest):
    """A parameter that would change the meaning of the answer and that we do not offer."""

    code = "unsupported_parameter"

    def __init__(self, param: str, *, hint: str = "Leave it out.") -> None:
        super().__init__(f"'{param}' is not supported. {hint}", param=param)


class NotFound(InvalidRequest):
    """No such thing for this caller; another tenant's thing reads exactly the same."""

    status = 404
    code = "not_found"

    def __init__(self, kind: str, identifier: str, *, param: str | None = None) -> None:
        super().__init__(f"No {kind} found with id '{identifier}'.", param=param)


class TooLarge(InvalidRequest):
    """Over a stated limit."""

    status = 413
    code = "too_large"


class Conflict(InvalidRequest):
    """The thing is not in a state that allows this."""

    status = 409
    code = "conflict"


class Unauthenticated(PenstockError):
    """No key, or not a valid one."""

    status = 401
    code = "invalid_api_key"
    type = "authentication_error"


class Forbidden(PenstockError):
    """The key is valid and may not do this."""

    status = 403
    code = "forbidden"
    type = "permission_error"


class Overloaded(PenstockError):
    """Refused early. `retry_after_s` is when trying again makes sense."""

    status = 503
    code = "overloaded"
    type = "server_error"

    def __init__(self, message: str, *, retry_after_s: float = 1.0) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class RateLimited(Overloaded):
    """This caller has used up what it was given."""

    status = 429
    code = "rate_limit_exceeded"
    type = "rate_limit_error"


class DeadlineExceeded(PenstockError):
    """The time ran out before `stage` could start or finish."""

    status = 504
    code = "deadline_exceeded"
    type = "timeout_error"

    def __init__(self, *, stage: str) -> None:
        super().__init__(f"The request's time ran out at stage '{stage}'. Allow more time, or ask for less.")
        self.stage = stage


class StageUnavailable(PenstockError):
    """A stage that the answer needs is down."""

    status = 503
    code = "stage_unavailable"

    def __init__(self, stage: str, detail: str) -> None:
        super().__init__(f"Stage '{stage}' is not available: {detail}")
        self.stage = stage


class Setup(PenstockError):
    """The installation is not usable as it is. The message says what to do."""

    code = "setup_error"


class BadSetting(Setup):
    """A setting is unknown, or its value is wrong."""

    code = "bad_setting"


class DataInUse(Setup):
    """Another process holds the data folder."""

    code = "data_in_use"


class DataDamaged(Setup):
    """The data folder cannot be read."""

    code = "data_damaged"


class DiskFull(Setup):
    """No room to write. Nothing that was acknowledged is lost."""

    status = 503
    code = "disk_full"


class PortBusy(Setup):
    """The address is taken."""

    code = "port_busy"


class ModelMissing(Setup):
    """No weights in a folder, in the cache or on the hub."""

    code = "model_missing"


class BadDocument(PenstockError):
    """One file cannot be ingested; the others go on."""

    status = 422
    code = "bad_document"
    type = "invalid_request_error"

    def __init__(self, reason: FailureReason, message: str) -> None:
        super().__init__(message)
        self.reason = reason
