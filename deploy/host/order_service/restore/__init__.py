"""From a backup to data: on trial, or in the place of the live data."""
