"""The program on a deployed host: releases, backups, restores, secrets, certificates, status."""
