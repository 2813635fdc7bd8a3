"""Data sets that several tests compare with R."""

import numpy as np
import pandas as pd
import pytest

PLANT_GROWTH = {
    "ctrl": [4.17, 5.58, 5.18, 6.11, 4.50, 4.61, 5.17, 4.53, 5.33, 5.14],
    "trt1": [4.81, 4.17, 4.41, 3.59, 5.87, 3.83, 6.03, 4.89, 4.32, 4.69],
    "trt2": [6.31, 5.12, 5.54, 5.50, 5.37, 5.29, 4.92, 6.15, 5.80, 5.26],
}


@pytest.fixture
def plants():
    """R's data set PlantGrowth: dried weights of plants under a control and two treatments."""
    groups = pd.Series([name for name, sample in PLANT_GROWTH.items() for _ in sample], name="group")
    return pd.DataFrame({"weight": np.concatenate(list(PLANT_GROWTH.values()))}), groups
