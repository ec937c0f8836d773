"""Names of Snowplow's fields, schemas and actions -> the names of properties and events in touchpoints."""

STRUCTURED = {
    "se_ca": "se_category",
    "se_ac": "se_action",
    "se_la": "se_label",
    "se_pr": "se_property",
    "se_va": "se_value",
}
"""Structured events. Their number must not become `value`, which is money: it may be anything."""
PAGE_PING = {
    "pp_mix": "pp_xoffset_min",
    "pp_max": "pp_xoffset_max",
    "pp_miy": "pp_yoffset_min",
    "pp_may": "pp_yoffset_max",
}
TRANSACTION = {
    "tr_id": "order_id",
    "tr_tt": "total",
    "tr_cu": "currency",
    "tr_af": "affiliation",
    "tr_tx": "tax",
    "tr_sh": "shipping",
    "tr_ci": "city",
    "tr_st": "state",
    "tr_co": "country",
}
ITEM = {
    "ti_id": "order_id",
    "ti_sk": "product_id",
    "ti_nm": "name",
    "ti_ca": "category",
    "ti_pr": "price",
    "ti_qu": "quantity",
    "ti_cu": "currency",
}

EVENT_NAMES = {
    "site_search": "search",
    "social_interaction": "share",
    "application_install": "application_installed",
    "application_foreground": "application_foregrounded",
    "application_background": "application_backgrounded",
    "deep_link_received": "deep_link_opened",
    "message_notification": "push_notification_received",
}
"""Self-describing events that other dialects call differently than their schema."""

ENHANCED_ACTIONS = {
    "click": "product_clicked",
    "detail": "product_viewed",
    "add": "add_to_cart",
    "remove": "remove_from_cart",
    "checkout": "checkout_step",
    "checkout_option": "checkout_step",
    "purchase": "transaction",
    "refund": "refund",
    "promo_click": "promo_click",
    "view": "promo_view",
}
"""Actions of the older enhanced e-commerce plugin."""
