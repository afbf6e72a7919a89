"""Orders that are read back and partly cancelled, among four times as many reads."""

from locust import HttpUser, between

from shop import tasks
from shop.shopper import Shopper


class Customer(Shopper, HttpUser):
    wait_time = between(1, 3)
    tasks = {
        tasks.order_and_read: 3,
        tasks.order_and_cancel: 1,
        tasks.read_order: 4,
        tasks.read_product: 4,
        tasks.read_stock: 4,
        tasks.highest_spenders: 2,
        tasks.best_sellers: 2,
    }
