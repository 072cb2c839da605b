"""Reading what a page of results holds."""

import base64
import gzip
import json
import re

import numpy as np


def content_of(report):
    """Return the values that the page holds as JSON."""
    found = re.search(r'id="content">(.*?)</script>', report.html, re.S)
    return json.loads(found[1])


def columns_of(report):
    """Return its columns of numbers, by name."""
    found = re.search(r'id="columns">(.*?)</script>', report.html, re.S)
    data = gzip.decompress(base64.b64decode(found[1]))
    return {
        place['name']: np.frombuffer(
            data, place['type'], place['length'], place['offset']
        )
        for place in content_of(report)['columns']
    }
