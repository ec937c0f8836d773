// The views, in the order of the navigation; those without a `group` are reached by links only.

import { abandonment } from "../views/abandonment.js";
import { channels } from "../views/channels.js";
import { customer } from "../views/customer.js";
import { customers } from "../views/customers.js";
import { events } from "../views/events.js";
import { flows } from "../views/flows.js";
import { funnel } from "../views/funnel.js";
import { lists } from "../views/lists.js";
import { now } from "../views/now.js";
import { quality } from "../views/quality.js";
import { voices } from "../views/voices.js";

export const views = [
  now,
  funnel,
  flows,
  abandonment,
  channels,
  voices,
  customers,
  events,
  quality,
  customer,
  ...lists,
];
