"""The course's mix as fast as answers come: users who don't pause, on Locust's faster client."""

from locust import FastHttpUser, constant

from shop.shopper import Shopper
from shop.tasks import best_sellers, highest_spenders, place_order


class HastyUser(Shopper, FastHttpUser):
    wait_time = constant(0)
    tasks = [place_order, highest_spenders, best_sellers]
