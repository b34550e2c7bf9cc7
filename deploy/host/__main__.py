"""The entry of the program on the host, as a folder and as a zipapp."""

from order_service.commands import main

main()
