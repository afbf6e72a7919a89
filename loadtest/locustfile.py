"""The course's load: a third orders, a third each report, 1 to 3 s between requests of one user."""

import random

from locust import HttpUser, between, task

USERS = 1_000
PRODUCTS = 10_000


class Shopper(HttpUser):
    """One of the course's users."""

    wait_time = between(1, 3)

    @task
    def post_order(self):
        several = random.random() < 0.3
        count = random.randint(2, 5) if several else 1
        products = random.sample(range(1, PRODUCTS + 1), count)
        body = {
            "user_id": random.randint(1, USERS),
            "items": [{"product_id": product, "quantity": random.randint(1, 5)} for product in products],
        }
        with self.client.post("/orders", json=body, catch_response=True) as response:
            if response.status_code != 201 or "order_id" not in response.json():
                response.failure(f"{response.status_code}: {response.text}")

    @task
    def highest_spenders(self):
        self._report("/orders/reports/highest-spenders", "total_expense")

    @task
    def best_sellers(self):
        self._report("/orders/reports/best-sellers", "quantity_sold")

    def _report(self, path, column):
        with self.client.get(path, catch_response=True) as response:
            if response.status_code != 200:
                response.failure(f"{response.status_code}: {response.text}")
                return
            totals = [row[column] for row in response.json()]
            if totals != sorted(totals, reverse=True):
                response.failure("not in order")
