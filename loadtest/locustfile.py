"""The course's load: a third orders, a third each report, 1 to 3 s between the requests of one user."""

from locust import HttpUser, between

from shop.shopper import Shopper
from shop.tasks import best_sellers, highest_spenders, place_order


class CourseUser(Shopper, HttpUser):
    wait_time = between(1, 3)
    tasks = [place_order, highest_spenders, best_sellers]
