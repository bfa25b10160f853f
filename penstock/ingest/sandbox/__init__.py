"""Files are parsed in processes that live for one file, can reach nothing, and are killed at a limit.

    server or worker          zygote (one)                 child (one per file)
    Parser ── socket ───────▶ has imported all parsers,
              job, two fds    forks a child per file ────▶ gives up files, sockets, processes;
              (content,       kills it at the time limit   parses; writes the result into the
              result)                                      second fd; ends
    ◀──────── pipe ────────── how it ended

The zygote is started afresh (exec), so it has nothing of the server in memory: no keys, no open files, no locks held by
threads. It never looks into a file. When the server dies, even by kill -9, the socket ends, the zygote goes, and with
it its children. Importing the parsers once and forking costs milliseconds per file; starting Python for each costs 300.
"""
