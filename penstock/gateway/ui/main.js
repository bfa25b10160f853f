// The page begins here: its parts are wired, and the address says which of them is shown.

import { showConversation, currentId, stop, wireChat } from "./chat.js";
import { showModels, showStores, wireChoice } from "./choice.js";
import { hideDocuments, showDocuments } from "./documents.js";
import { $, many, say } from "./dom.js";
import { icon } from "./icon.js";
import { closePane, hidePane, wirePane } from "./passages.js";
import { Poll } from "./poll.js";
import { closeRail, showConversations, wireRail } from "./rail.js";
import { follow } from "./route.js";
import { wireSignIn } from "./signin.js";
import { readStores, stores } from "./stores.js";

async function show({ view, id }) {
  const documents = view === "documents";
  $("documents").hidden = !documents;
  $("chat").hidden = documents;
  document.body.classList.toggle("in-documents", documents);
  if (documents) {
    hidePane();
    $("bar-title").textContent = "Documents";
    await showDocuments(id);
  } else {
    hideDocuments();
    await showConversation(id);
    looking.start();
  }
  await showConversations(currentId());
}

/** Which stores there are: again while there is none to ask, and while files are being read. */
async function look() {
  if ($("chat").hidden) return false;
  try {
    await readStores();
  } catch (error) {
    say(`The stores cannot be listed: ${error.message}`);
    return error.status !== 401;
  }
  showStores();
  const files = stores().reduce((sum, store) => sum + store.file_counts.completed, 0);
  const some = stores().some((store) => store.file_counts.total > 0);
  $("empty").hidden = some;
  $("welcome-count").textContent = files ? `${many(files, "document")} to ask. Answers quote them and say where.` : "";
  return !some || stores().some((store) => store.status === "in_progress");
}
const looking = new Poll(look);

function wireKeys() {
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || document.querySelector("dialog[open]")) return;
    if ($("picker").open) { $("picker").open = false; $("picker").querySelector("summary").focus(); return; }
    if (!closeRail() && !stop()) closePane();
  });
}

for (const [id, drawing] of [["previous", "left"], ["next", "right"], ["close", "cross"]]) $(id).append(icon(drawing));
wireSignIn();
wireRail();
wireChat();
wireChoice();
wirePane();
wireKeys();
follow(show);
showModels().catch((error) => say(`The models cannot be listed: ${error.message}`));
