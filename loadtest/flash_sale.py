"""A flash sale: everybody buys the same product, with the course's pauses."""

from locust import HttpUser, between

from shop.shopper import Shopper
from shop.tasks import buy_the_same


class Bargainer(Shopper, HttpUser):
    wait_time = between(1, 3)
    tasks = [buy_the_same]
