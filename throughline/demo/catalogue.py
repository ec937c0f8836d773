"""The shop's products and campaigns, and its shoppers' devices. Data only."""

from typing import NamedTuple


class Product(NamedTuple):
    """A product; `price` in euros."""

    sku: str
    name: str
    brand: str
    category: str
    price: float


class Campaign(NamedTuple):
    """The utm parameters of a shopper's first visit; `medium` "none" stands for no campaign."""

    source: str
    medium: str
    name: str


class Device(NamedTuple):
    """A device, and the user agent of its browser."""

    platform: str
    agent: str


PRODUCTS = (
    Product("TENT-2P", "Two-person tent", "Nordfjell", "Camping", 249.0),
    Product("TENT-4P", "Family tent", "Nordfjell", "Camping", 429.0),
    Product("BAG-DOWN", "Down sleeping bag", "Nordfjell", "Camping", 189.0),
    Product("MAT-AIR", "Insulated air mat", "Lufta", "Camping", 79.0),
    Product("STOVE-GAS", "Folding gas stove", "Brasa", "Camping", 54.9),
    Product("LAMP-HEAD", "Headlamp 400 lm", "Brasa", "Camping", 39.9),
    Product("PACK-28", "Day pack 28 l", "Serra", "Packs", 99.0),
    Product("PACK-55", "Trekking pack 55 l", "Serra", "Packs", 179.0),
    Product("POLE-CARB", "Carbon trekking poles", "Serra", "Packs", 89.0),
    Product("BOOT-MID", "Mid hiking boots", "Alta", "Footwear", 169.0),
    Product("BOOT-ALP", "Alpine boots", "Alta", "Footwear", 279.0),
    Product("SHOE-TRAIL", "Trail running shoes", "Alta", "Footwear", 129.0),
    Product("SOCK-WOOL", "Merino socks, two pairs", "Alta", "Footwear", 24.9),
    Product("JACKET-RAIN", "Rain jacket", "Vestland", "Clothing", 159.0),
    Product("JACKET-DOWN", "Down jacket", "Vestland", "Clothing", 219.0),
    Product("SHIRT-WOOL", "Merino shirt", "Vestland", "Clothing", 69.0),
    Product("TROUSER-TREK", "Trekking trousers", "Vestland", "Clothing", 89.0),
    Product("BOTTLE-1L", "Steel bottle 1 l", "Brasa", "Accessories", 29.9),
    Product("KNIFE-POCKET", "Pocket knife", "Brasa", "Accessories", 44.9),
    Product("MAP-ALPS", "Alps map set", "Kartverk", "Accessories", 34.9),
)

CAMPAIGNS = (
    Campaign("google", "cpc", "spring-trails"),
    Campaign("google", "organic", ""),
    Campaign("instagram", "paid_social", "summit-stories"),
    Campaign("newsletter", "email", "packing-list"),
    Campaign("bergfreunde-blog", "affiliate", "gear-tests"),
    Campaign("friend", "referral", "bring-a-friend"),
    Campaign("", "none", ""),
)
CAMPAIGN_WEIGHTS = (26, 22, 16, 12, 8, 6, 10)

DEVICES = (
    Device(
        "mobile",
        "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 Version/18.5 Mobile Safari/604.1",
    ),
    Device(
        "mobile", "Mozilla/5.0 (Linux; Android 15; Pixel 9) AppleWebKit/537.36 Chrome/138.0.0.0 Mobile Safari/537.36"
    ),
    Device("desktop", "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Chrome/138.0.0.0 Safari/537.36"),
    Device("desktop", "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"),
)
DEVICE_WEIGHTS = (34, 26, 30, 10)

SEARCHES = ("rain jacket", "tent", "light sleeping bag", "boots wide fit", "headlamp", "55 l pack", "merino", "stove")
COUPONS = ("TRAIL10", "WELCOME5", "SUMMIT15")
STORES = ("Innsbruck", "Munich", "Chamonix", "Bergen")
FIRST_NAMES = ("Ada", "Ben", "Chiara", "Dmitri", "Elif", "Femi", "Greta", "Hugo", "Ines", "Jonas", "Kaia", "Luca")
LAST_NAMES = ("Berg", "Costa", "Dahl", "Egger", "Fontaine", "Garcia", "Haas", "Ito", "Jensen", "Kaya", "Lund", "Moreau")
