// What a program counted, second by second. A number on the page is of a moment that nobody knows exactly: a program takes a
// sample every three seconds, and the page asks for samples as often and draws them. So a number is compared with the least
// and the most that the counters allow within that time.
import { counted, quantile, scraped, values } from "./programs.mjs";

/** Between two scrapes. */
const STEP_MS = 1000;

/** Between two samples of a program, and between two looks of a page. */
const SAMPLE_S = 3;

/** The oldest that the newest sample on the page may be: a sample's and a look's time, and two seconds on the way. */
const LATE_S = 2 * SAMPLE_S + 2;

/** The longest time over which the page takes a mean. */
const LONGEST_S = 60;

/** How long scrapes are kept. */
const KEPT_S = LONGEST_S + SAMPLE_S + LATE_S + 5;

const range = numbers => [Math.min(...numbers), Math.max(...numbers)];

export class Scrapes {
  constructor(admin) {
    this.admin = admin;
    this.taken = [];
    this.goesOn = true;
    this.run();
  }

  async run() {
    while (this.goesOn) {
      try {
        const text = await scraped(this.admin);
        this.taken.push({ at: performance.now(), text });
      } catch {
        // The next one may succeed, and those that compare notice if none does.
      }
      this.taken = this.taken.filter(({ at }) => performance.now() - at < KEPT_S * 1000);
      await new Promise(resolve => setTimeout(resolve, STEP_MS));
    }
  }

  stop() {
    this.goesOn = false;
  }

  /** The scrapes that the newest sample on the page may be from. */
  get last() {
    const last = this.taken.filter(({ at }) => performance.now() - at <= LATE_S * 1000);
    if (!last.length) throw new Error(`${this.admin}/metrics gave no answer for ${LATE_S} s`);
    return last;
  }

  /** Each of these with one of about so many seconds before. */
  spans(seconds) {
    return this.last.flatMap(now => {
      const far = scrape => Math.abs(now.at - scrape.at - seconds * 1000);
      const before = this.taken.reduce((best, scrape) => far(scrape) < far(best) ? scrape : best);
      return before.at < now.at ? [{ before, now }] : [];
    });
  }

  /** The spans that the page's mean over so many seconds may be of: what lies within them is taken by whole samples. */
  means(seconds) {
    return [-SAMPLE_S, 0, SAMPLE_S].flatMap(more => this.spans(seconds + more));
  }

  /** How much these series rose a second, in the mean over so many. */
  rate(seconds, name, ...parts) {
    return range(this.means(seconds).map(({ before, now }) =>
      (counted(now.text, name, ...parts) - counted(before.text, name, ...parts)) / ((now.at - before.at) / 1000)));
  }

  /** The share of what `part` matches in the rise of what `whole` matches, in the mean over so many seconds. */
  share(seconds, name, part, whole) {
    const rise = ({ before, now }, which) => counted(now.text, name, ...which) - counted(before.text, name, ...which);
    return range(this.means(seconds).map(span => rise(span, part) / rise(span, whole)));
  }

  /** The sum of gauges. */
  gauge(name, ...parts) {
    return range(this.last.map(({ text }) => counted(text, name, ...parts)));
  }

  /** The highest of gauges. */
  highest(name, ...parts) {
    return range(this.last.map(({ text }) => Math.max(...values(text, name, ...parts))));
  }

  /** A quantile of a sample's observations. */
  quantile(share, name, ...parts) {
    const found = this.spans(SAMPLE_S).map(({ before, now }) => quantile(share, before.text, now.text, name, ...parts));
    return range(found.filter(value => value !== null));
  }
}
