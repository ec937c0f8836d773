"""The event names of the SDKs and standards whose events are understood, as those who made them write them."""

SEGMENT_ECOMMERCE = (
    "Products Searched", "Product List Viewed", "Product List Filtered", "Promotion Viewed", "Promotion Clicked",
    "Product Clicked", "Product Viewed", "Product Added", "Product Removed", "Cart Viewed", "Checkout Started",
    "Checkout Step Viewed", "Checkout Step Completed", "Payment Info Entered", "Order Updated", "Order Completed",
    "Order Refunded", "Order Cancelled", "Coupon Entered", "Coupon Applied", "Coupon Denied", "Coupon Removed",
    "Product Added to Wishlist", "Product Removed from Wishlist", "Wishlist Product Added to Cart", "Product Shared",
    "Cart Shared", "Product Reviewed",
)  # fmt: skip
SEGMENT_OTHER = (
    "Account Created", "Account Deleted", "Signed Up", "Signed In", "Signed Out", "Invite Sent", "Account Added User",
    "Account Removed User", "Trial Started", "Trial Ended", "Email Bounced", "Email Delivered", "Email Link Clicked",
    "Email Marked as Spam", "Email Opened", "Unsubscribed", "Live Chat Conversation Started",
    "Live Chat Conversation Ended", "Live Chat Message Sent", "Live Chat Message Received", "Message Sent",
    "Message Received", "Application Installed", "Application Opened", "Application Backgrounded",
    "Application Foregrounded", "Application Updated", "Application Uninstalled", "Application Crashed",
    "Install Attributed", "Push Notification Received", "Push Notification Tapped", "Push Notification Bounced",
    "Deep Link Opened", "Deep Link Clicked",
)  # fmt: skip
GA4 = (
    "add_payment_info", "add_shipping_info", "add_to_cart", "add_to_wishlist", "begin_checkout", "purchase", "refund",
    "remove_from_cart", "select_item", "select_promotion", "view_cart", "view_item", "view_item_list", "view_promotion",
    "ad_impression", "generate_lead", "join_group", "login", "search", "select_content", "share", "sign_up",
    "tutorial_begin", "tutorial_complete", "earn_virtual_currency", "spend_virtual_currency", "qualify_lead",
    "disqualify_lead", "working_lead", "close_convert_lead", "close_unconvert_lead", "page_view", "session_start",
    "first_visit",
)  # fmt: skip
SNOWPLOW = (
    "add_to_cart", "remove_from_cart", "product_view", "list_click", "list_view", "promo_click", "promo_view",
    "checkout_step", "transaction", "refund", "trns_error", "page_view", "page_ping",
)  # fmt: skip
SHOPIFY = (
    "page_viewed", "collection_viewed", "product_viewed", "search_submitted", "product_added_to_cart",
    "product_removed_from_cart", "cart_viewed", "checkout_started", "checkout_contact_info_submitted",
    "checkout_address_info_submitted", "checkout_shipping_info_submitted", "payment_info_submitted",
    "checkout_completed", "alert_displayed", "CHECKOUTS_CREATE", "CHECKOUTS_UPDATE", "CHECKOUTS_DELETE",
    "ORDERS_CREATE", "ORDERS_UPDATED", "ORDERS_EDITED", "ORDERS_CANCELLED", "ORDERS_FULFILLED", "ORDERS_PAID",
    "ORDERS_DELETE", "FULFILLMENTS_CREATE", "FULFILLMENTS_UPDATE", "checkouts/create", "checkouts/update",
    "checkouts/delete", "orders/create", "orders/updated", "orders/edited", "orders/cancelled", "orders/fulfilled",
    "orders/paid", "orders/delete", "fulfillments/create", "fulfillments/update",
)  # fmt: skip
RUDDERSTACK_SHOPIFY = (
    "Cart Create", "Cart Update", "Cart Created", "Cart Updated", "Checkout Started Webhook", "Checkout Started",
    "Checkout Updated", "Checkout Deleted", "Order Created", "Order Updated", "Order Edited", "Order Paid",
    "Order Cancelled", "Order Deleted", "Order Fulfilled", "Order Partially Fulfilled", "Fulfillment Created",
    "Fulfillment Updated", "Customer Enabled", "Customer Disabled", "Customer Deleted", "Customer Tags Added",
    "Customer Tags Removed", "Customer Email Updated",
)  # fmt: skip
_ACTIONS = (
    "Discover", "Search", "View", "Want", "Check", "Ask", "Quote", "Choose", "Reserve", "PreOrder", "Order", "Pay",
    "Buy", "Receive", "Install", "Use", "Return", "Subscribe", "Register", "Join", "Leave", "UnRegister", "Review",
    "Endorse", "Share", "Invite", "Comment", "Like",
)  # fmt: skip
SCHEMA_ORG = (
    *_ACTIONS, *(f"{action}Action" for action in _ACTIONS),
)  # fmt: skip
STORES_AND_PEOPLE = (
    "store_visit", "fitting_room", "demo", "sample_ordered", "pos_sale", "loyalty_card_joined", "loyalty_card_redeemed",
    "support_ticket", "survey_answered", "nps", "csat", "event_attended", "call", "sms", "ad_click", "social_mention",
)  # fmt: skip

KNOWN = {
    "Segment e-commerce": SEGMENT_ECOMMERCE,
    "Segment, other": SEGMENT_OTHER,
    "GA4": GA4,
    "Snowplow": SNOWPLOW,
    "Shopify": SHOPIFY,
    "RudderStack, of a Shopify store": RUDDERSTACK_SHOPIFY,
    "schema.org": SCHEMA_ORG,
    "stores and people": STORES_AND_PEOPLE,
}

KNOWN_AND_MOVING_NOBODY = {
    "Order Edited": "as Order Updated",
    "Order Deleted": "as Order Cancelled",
    "Checkout Deleted": "as CHECKOUTS_DELETE",
    "Customer Disabled": "the shop's bookkeeping of its customers",
    "Customer Deleted": "as Customer Disabled",
    "Customer Tags Added": "as Customer Disabled",
    "Customer Tags Removed": "as Customer Disabled",
    "Customer Email Updated": "as Customer Disabled",
    "page_ping": "a page is still looked at; the view of it was what placed",
    "Order Updated": "the shop's bookkeeping; buying has its own events",
    "ORDERS_UPDATED": "as Order Updated",
    "ORDERS_EDITED": "as Order Updated",
    "CHECKOUTS_DELETE": "a shop tidies up old checkouts; the silence that led to it is the lapse",
    "Order Cancelled": "takes an order back, no phase",
    "ORDERS_CANCELLED": "as Order Cancelled",
    "ORDERS_DELETE": "as Order Cancelled",
    "Order Refunded": "takes an order back when it is in full, no phase",
    "refund": "as Order Refunded",
    "Return": "noted, no advance",
    "disqualify_lead": "a no ends a journey only in a model that has a phase for it",
    "close_unconvert_lead": "as disqualify_lead",
    "Account Deleted": "leaving is not a phase; the silence that follows is a lapse",
    "Account Removed User": "as Account Deleted",
    "Unsubscribed": "as Account Deleted",
    "Email Marked as Spam": "as Account Deleted",
    "Application Uninstalled": "as Account Deleted",
    "Leave": "as Account Deleted",
    "UnRegister": "as Account Deleted",
    "Email Bounced": "it never reached anyone",
    "Push Notification Bounced": "it never reached anyone",
    "Trial Ended": "time did it; what the customer does next says where it goes",
    "Application Backgrounded": "the device did it or the visit ends",
    "Application Updated": "the device did it",
    "Application Crashed": "says nothing of the journey",
    "Signed Out": "the end of a visit",
}
"""Names that every model may know without a rule, and why. The other spellings of a name follow it."""
