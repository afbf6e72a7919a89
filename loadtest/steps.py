"""The course's load in equal steps: a tenth of the users for a tenth of the time, then two tenths, up to all."""

import math

from locust import HttpUser, LoadTestShape, between

from shop.shopper import Shopper
from shop.tasks import best_sellers, highest_spenders, place_order

STEPS = 10


class SteppingUser(Shopper, HttpUser):
    wait_time = between(1, 3)
    tasks = [place_order, highest_spenders, best_sellers]


class Steps(LoadTestShape):
    use_common_options = True

    def tick(self):
        options = self.runner.environment.parsed_options
        # Given nothing, as on the web page, 10 minutes.
        step_time = (options.run_time or 600) / STEPS
        step = int(self.get_run_time() / step_time) + 1
        if step > STEPS:
            return None
        users = math.ceil((options.num_users or 1) * step / STEPS)
        return users, options.spawn_rate or 1
