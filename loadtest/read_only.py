"""Reads alone, as many of each kind; the reports too."""

from locust import HttpUser, between

from shop import tasks
from shop.shopper import Shopper


class Reader(Shopper, HttpUser):
    wait_time = between(1, 3)
    tasks = [
        tasks.read_order,
        tasks.read_user,
        tasks.read_product,
        tasks.read_stock,
        tasks.highest_spenders,
        tasks.best_sellers,
    ]
