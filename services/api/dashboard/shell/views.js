// The views, in the order of the navigation; those without a `group` are reached by links only.

import { customer } from "../views/customer.js";
import { customers } from "../views/customers.js";
import { events } from "../views/events.js";
import { lists } from "../views/lists.js";
import { now } from "../views/now.js";
import { quality } from "../views/quality.js";

export const views = [
  now,
  customers,
  events,
  quality,
  customer,
  ...lists,
];
