"""The recalls at which COCO takes the precision, and what reaches them."""

import numpy as np

COCO_RECALLS = np.linspace(0, 1, 101)
# A share that is a whole percent must not be rounded to less. All others are
# farther from it than this.
PERCENT = (1 + 1e-12) * 100
# The lowest share that reaches each recall, in percent. Rounding made some
# recalls larger than their share of a hundred, such as 0.07.
LOWEST_PERCENT = np.arange(101) * np.where(
    COCO_RECALLS > np.arange(101) / 100, 1 + 1e-11, 1
)
