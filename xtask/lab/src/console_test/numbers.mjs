// Compares the numbers on the page with those of /metrics and /status.
import assert from "node:assert/strict";
import { FRESH, Load } from "./load.mjs";
import { cells, count, legend, number, tile, view } from "./page.mjs";
import { change, counted, eventually, json, live, scraped, values } from "./programs.mjs";

/** By how much a mean of rates may differ from the rate of a mean, as samples are not all of one length. */
const UNEVEN = 0.02;

/** The page writes numbers of the size with this error at most. */
const ROUNDED = { rate: 0.006, share: 0.0006, seconds: 0.0006, bytes: 1 << 20 };

/** The results of the cache that the page counts, and those of them that needed no upstream. */
const FROM_CACHE = /result="(hit|stale)"/;
const CACHEABLE = /result="(hit|stale|revalidated|expired|miss)"/;

/** How long a version may be asked to wait: longer than the page takes to show it, and shorter than a host does. */
const HELD_MS = 25_000;

/**
 * Waits until a number on the page lies between the least and the most that were counted, both above `above`. `rounded` is
 * the error with which it is written.
 */
function near(what, shown, range, rounded, above = 0) {
  return eventually(`${what} is what was counted`, async () => {
    const text = await shown();
    const value = number(text);
    const [least, most] = range();
    const isNear = least > above && most >= least && value >= least * (1 - UNEVEN) - rounded && value <= most * (1 + UNEVEN) + rounded;
    if (!isNear) throw new Error(`${text} on the page, ${least} to ${most} counted`);
    return text;
  });
}

const program = (page, name, title) => async () => (await cells(page, "Programs of the fleet", name))[title];
const upstream = (page, address, title) => async () => (await cells(page, "Upstreams of store", address))[title];

/** The name by which the proxy's page knows the proxy. */
const nameOf = async ({ proxy }) => (await json(`${proxy.admin}/fleet`)).self.name;

/** The addresses by which the proxy knows the hosts. */
const addresses = ({ urls }) => urls.map(url => url.replace("http://", ""));

/**
 * Lets a version that does as it is asked serve the second host's orders, and everything that no component has a route for,
 * and sends the store nothing else meanwhile.
 */
async function obeyed({ load, settings: { hosts: [, host], token, files } }, work) {
  const [before, usual] = [await live(host, "orders"), load.rate];
  load.rate = 0;
  await change(host, "/components/orders/swap", token, files.obedient);
  try {
    return await work();
  } finally {
    await change(host, `/components/orders/rollback?generation=${before}`, token);
    load.rate = usual;
  }
}

/** Sends the store requests for `path` while it works. */
async function under(rate, { proxy }, path, work) {
  const load = new Load(rate, () => fetch(`${proxy.url}${path}`, { headers: FRESH }));
  try {
    return await work();
  } finally {
    load.stop();
  }
}

export const numbers = [
  ["requests, memory, cache and age of the reports are those of the metrics", async ({ page, settings, scrapes }) => {
    const { proxy, token } = settings;
    const name = await nameOf(settings);
    await view(page, "Overview");
    await near("requests a second", () => tile(page, "requests"), () => scrapes.proxy.rate(15, "http_requests_total"), ROUNDED.rate);
    for (const [row, of] of [[name, scrapes.proxy], ["host-1", scrapes.hosts[0]], ["host-2", scrapes.hosts[1]]]) {
      await near(`requests of ${row}`, program(page, row, "Requests"), () => of.rate(15, "http_requests_total"), ROUNDED.rate);
      await near(`memory of ${row}`, program(page, row, "Memory"), () => of.gauge("process_resident_memory_bytes"), ROUNDED.bytes);
    }
    await near("age of the reports", () => tile(page, "report_age"), () => {
      const made = scrapes.hosts.map(of => of.highest("store_report_refreshed_timestamp_seconds")[1]);
      const age = Date.now() / 1000 - Math.max(...made);
      // The sample is some seconds old.
      return [Math.max(0.001, age - 8), age + 1];
    }, 0.5);
    // What the cache has to fetch again, or it would answer all.
    const purges = setInterval(() => change(proxy.admin, "/cache/purge", token).catch(() => {}), 1000);
    try {
      await near("share from the cache", () => tile(page, "cache_hits"), () => {
        const [least, most] = scrapes.proxy.share(60, "store_proxy_cache_requests_total", [FROM_CACHE], [CACHEABLE]);
        if (most > 0.95) throw new Error(`${most} from the cache still`);
        return [least - 0.02, most + 0.02];
      }, ROUNDED.share);
    } finally {
      clearInterval(purges);
    }
    await view(page, "Upstreams");
    for (const address of addresses(settings)) {
      await near(`requests to ${address}`, upstream(page, address, "Requests"),
        () => scrapes.proxy.rate(15, "store_proxy_upstream_requests_total", `upstream="${address}"`), ROUNDED.rate);
    }
  }],

  ["errors are those of the metrics: of clients, of a host and of its upstream", context => obeyed(context, async () => {
    const { page, settings, scrapes } = context;
    const [name, [, address]] = [await nameOf(settings), addresses(settings)];
    await view(page, "Overview");
    // The first host has no such path, and answers 404.
    await under(20, settings, "/fail", async () => {
      await near("share of errors", () => tile(page, "errors"), () => scrapes.proxy.share(60, "http_requests_total", ['status="5xx"'], []), ROUNDED.share, 0.02);
      await near("errors of the proxy", program(page, name, "Errors"), () => scrapes.proxy.rate(60, "http_requests_total", 'status="5xx"'), ROUNDED.rate, 0.5);
      await near("errors of the host", program(page, "host-2", "Errors"), () => scrapes.hosts[1].rate(60, "http_requests_total", /status="5\d\d"/), ROUNDED.rate, 0.5);
      assert.equal(number(await program(page, "host-1", "Errors")()), 0);
      await view(page, "Upstreams");
      await near("errors of the upstream", upstream(page, address, "Errors"),
        () => scrapes.proxy.rate(60, "store_proxy_upstream_requests_total", `upstream="${address}"`, /status="(5xx|error)"/), ROUNDED.rate, 0.5);
    });
  })],

  ["latencies are those of the metrics: of clients, a program, a route and an upstream", context => obeyed(context, async () => {
    const { page, settings, scrapes } = context;
    const [name, [, address]] = [await nameOf(settings), addresses(settings)];
    const route = ['route="/..."', 'method="GET"'];
    // So slow that they are all in the bucket above a quarter of a second, whatever else the machine does.
    const slow = 0.25;
    const latency = (what, shown, range) => near(what, shown, range, ROUNDED.seconds, slow);
    await view(page, "Overview");
    await page.getByLabel("host-2", { exact: true }).check();
    await under(20, settings, "/sleep?300", async () => {
      for (const [panel, share] of [["p50", 0.5], ["p99", 0.99]]) {
        await latency(`${panel} of a route`, async () => (await legend(page, panel))["GET /..."] ?? "–",
          () => scrapes.hosts[1].quantile(share, "http_request_duration_seconds", ...route));
      }
      await latency("p99 of clients", () => tile(page, "p99"), () => scrapes.proxy.quantile(0.99, "http_request_duration_seconds"));
      await latency("p99 of the proxy", program(page, name, "p99"), () => scrapes.proxy.quantile(0.99, "http_request_duration_seconds"));
      await latency("p99 of the host", program(page, "host-2", "p99"), () => scrapes.hosts[1].quantile(0.99, "http_request_duration_seconds"));
      await view(page, "Upstreams");
      await latency("p99 of the upstream", upstream(page, address, "p99"),
        () => scrapes.proxy.quantile(0.99, "store_proxy_upstream_duration_seconds", `upstream="${address}"`));
    });
  })],

  ["what is in flight, in pools and at upstreams is what the gauges and the status say", context => obeyed(context, async () => {
    const { page, settings } = context;
    const [name, admins] = [await nameOf(settings), [settings.proxy.admin, ...settings.hosts]];
    const held = [
      ...[...Array(3)].map(() => fetch(`${settings.urls[1]}/backends`, { method: "POST", body: `mysql ${settings.mysql}\nexecute SELECT SLEEP(${HELD_MS / 1000})` })),
      // Each another address, or one would wait for the answer to the other.
      ...[...Array(8).keys()].map(more => fetch(`${settings.proxy.url}/sleep?${HELD_MS + more}`, { headers: FRESH })),
    ];
    for (const one of held) one.then(answer => answer.arrayBuffer()).catch(() => {});
    await view(page, "Overview");
    await page.getByLabel("host-2", { exact: true }).check();
    await eventually("requests in flight and connections in use are those that are held", async () => {
      const [atProxy, ...atHosts] = await Promise.all(admins.map(scraped));
      const inFlight = atHosts.map(text => counted(text, "store_requests_in_flight"));
      assert.ok(inFlight[1] > 3, `${inFlight[1]} are held`);
      const rows = await Promise.all([name, "host-1", "host-2"].map(row => program(page, row, "In flight")()));
      const total = inFlight[0] + inFlight[1];
      assert.deepEqual([await tile(page, "in_flight"), ...rows].map(number), [total, counted(atProxy, "store_proxy_upstream_in_flight"), ...inFlight]);
      const pools = await legend(page, "pool_in_use");
      const lent = id => counted(atHosts[1], "store_mysql_pool_in_use", `component="${id}"`);
      const ids = ["orders", "reports", "stocks"];
      assert.deepEqual(ids.map(id => number(pools[id] ?? "0")), ids.map(lent));
      assert.equal(lent("orders"), 3);
      return number(pools["limit of each"]) === Math.min(...values(atHosts[1], "store_mysql_pool_size"));
    });
    await view(page, "Upstreams");
    await eventually("each upstream has what the status and the gauges say", async () => {
      const metrics = await scraped(settings.proxy.admin);
      const { upstreams } = (await json(`${settings.proxy.admin}/status`)).groups[0];
      for (const { address, in_flight, queued, ejections, weight } of upstreams) {
        const row = await cells(page, "Upstreams of store", address);
        const shown = ["In flight", "Waiting", "Ejections", "Weight"].map(title => count(row[title]));
        assert.deepEqual(shown, [in_flight, queued, ejections, weight]);
        const of = metric => counted(metrics, metric, `upstream="${address}"`);
        assert.deepEqual(shown.slice(0, 3), ["in_flight", "queued", "ejections_total"].map(what => of(`store_proxy_upstream_${what}`)));
      }
      return upstreams.some(one => one.in_flight > 0);
    });
  })],
];
