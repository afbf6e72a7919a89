"""Every route of the store. What is made on the way is removed again, except orders."""

from locust import HttpUser, between

from shop import tasks
from shop.shopper import Shopper


class Visitor(Shopper, HttpUser):
    wait_time = between(1, 3)
    tasks = {
        tasks.health_check: 1,
        tasks.read_order: 4,
        tasks.read_user: 2,
        tasks.read_product: 6,
        tasks.read_stock: 4,
        tasks.read_overview: 1,
        tasks.query_product: 3,
        tasks.highest_spenders: 2,
        tasks.best_sellers: 2,
        tasks.order_and_read: 2,
        tasks.order_and_cancel: 1,
        tasks.come_and_go: 1,
        tasks.offer_and_withdraw: 1,
    }
