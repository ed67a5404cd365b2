#!/usr/bin/env python3
"""Posts the path of a picture, and prints who is on it. The module kube_face is generated: docs/api.md, "Clients"."""

import sys
import time

from kube_face import Client
from kube_face.api.images import get_image
from kube_face.api.original import post_image
from kube_face.models import PostedPath

client = Client(sys.argv[1], headers={"Accept": "application/json"})
posted = post_image.sync(client=client, body=PostedPath(sys.argv[2]))
while (answer := get_image.sync_detailed(posted.id, client=client)).status_code != 200:  # 202: it is not done yet
    time.sleep(0.5)
image = answer.parsed
print(image.id, image.status, image.person.name if image.person else image.reason)
