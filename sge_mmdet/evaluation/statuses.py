"""What became of a detection, as ``native/statuses.h`` names it, too."""

MISSED, HIT, IGNORED = 0, 1, 2
