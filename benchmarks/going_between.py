"""Start a command and say what it took: `python -I -S going_between.py REPORT COMMAND…`.

A process takes over the peak memory of the one that starts it, which may be large; this one is as small as Python is.
"""

import json
import os
import sys
import time

report, *command = sys.argv[1:]
begun = time.perf_counter()
child = os.posix_spawnp(command[0], command, os.environ)
_, status, used = os.wait4(child, 0)
seconds = time.perf_counter() - begun
with open(report, "w") as out:  # noqa: PTH123 - pathlib is not imported: see above
    json.dump([seconds, used.ru_utime + used.ru_stime, used.ru_maxrss, os.waitstatus_to_exitcode(status)], out)
