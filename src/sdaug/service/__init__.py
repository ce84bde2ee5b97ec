"""The enrolment service: an HTTP API and an admin page over the augmentor, the gate and the bundle.

The server decodes no picture and loads no network; `sdaug.service.work` is what its worker processes run.
"""
