// Requests at a rate, whatever becomes of them: what the store does meanwhile is what the page shows.

/** Between two looks at how many requests are due. */
const TICK_MS = 20;

/** Most requests without an answer: further ones are left out, so that a store that is stuck is not buried. */
const MOST_OPEN = 200;

/** Most requests that are sent at once after a pause. */
const MOST_DUE = 20;

/** Goes past the proxy's cache. */
export const FRESH = { "cache-control": "no-cache" };

/** Places an order; `number` decides its user and its product. */
export function order(base, number) {
  const body = JSON.stringify({ user_id: 1 + number % 100, items: [{ product_id: 1 + number % 200, quantity: 1 }] });
  return fetch(`${base}/orders`, { method: "POST", headers: { "content-type": "application/json" }, body });
}

const REPORTS = ["best-sellers", "highest-spenders"];

/**
 * Of ten requests two are orders and six reads of reports: four past the cache, so that versions of `reports` on trial have
 * requests, and two that it may answer.
 */
export function usual(base, number) {
  // Each ten begin with another kind. Otherwise a proxy that takes hosts in turn would send all reads of reports to one.
  const at = (number + Math.floor(number / 10)) % 10;
  const report = `${base}/orders/reports/${REPORTS[Math.floor(number / 2) % 2]}`;
  switch (at) {
    case 0: case 5: return order(base, number);
    case 2: return fetch(`${base}/orders/${1 + number % 50}`);
    case 7: return fetch(`${base}/health-check`);
    case 4: case 9: return fetch(report);
    default: return fetch(report, { headers: FRESH });
  }
}

export class Load {
  /** `request` sends one, by its number. `rate` is a second's number of them and may be changed. */
  constructor(rate, request) {
    this.rate = rate;
    this.request = request;
    this.open = 0;
    this.number = 0;
    /** Requests that were answered, those of them with a status of 500 and above, and those that were not. */
    this.answered = 0;
    this.failed = 0;
    this.broken = 0;
    this.due = 0;
    this.looked = performance.now();
    this.timer = setInterval(() => this.tick(), TICK_MS);
  }

  tick() {
    const now = performance.now();
    this.due = Math.min(this.due + this.rate * (now - this.looked) / 1000, MOST_DUE);
    this.looked = now;
    for (; this.due >= 1; this.due -= 1) if (this.open < MOST_OPEN) this.send();
  }

  async send() {
    this.open += 1;
    this.number += 1;
    try {
      const answer = await this.request(this.number);
      await answer.arrayBuffer();
      this.answered += 1;
      if (answer.status >= 500) this.failed += 1;
    } catch {
      this.broken += 1;
    } finally {
      this.open -= 1;
    }
  }

  stop() {
    clearInterval(this.timer);
  }
}
