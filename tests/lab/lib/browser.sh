# shellcheck shell=bash
# What the console's pages are looked at with.

BROWSER_PACKAGES="chromium fonts-dejavu-core"

ensure_browser() {
  step_begin
  command -v chromium >/dev/null || {
    can_install || die "chromium is missing. Install it, or run this as root on Debian"
    # shellcheck disable=SC2086 # a list
    apt_install $BROWSER_PACKAGES ||
      die "$BROWSER_PACKAGES could not be installed: see the apt message above (Ubuntu has no such package)"
  }
  step_end "chromium is there"
}
