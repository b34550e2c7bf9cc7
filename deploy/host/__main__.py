"""The entry of the program on the host, as a folder and as a zipapp."""

import os
import sys
from pathlib import Path

if Path(sys.path[0]).is_file():
    # Modules come from the file that is open now, also when another one takes its name meanwhile.
    sys.path[0] = f"/proc/self/fd/{os.open(sys.path[0], os.O_RDONLY)}"

from order_service.commands import main

main()
