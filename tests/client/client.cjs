// A Node.js program as a service would write it, with @grpc/grpc-js and the .proto files at run time. Prints what it saw as
// one JSON document; test_node.py judges it.
//
//     node client.cjs ADDRESS KEY TEAM STRANGERS_KEY PROTO_DIR...
//
// With TLS if TLS_CA is in the environment; with a certificate of its own if TLS_CERT and TLS_KEY are.

const fs = require("fs");
const grpc = require("@grpc/grpc-js");
const loader = require("@grpc/proto-loader");

const [address, key, team, strangersKey, ...includeDirs] = process.argv.slice(2);
const definition = loader.loadSync(["allod/v1/app.proto", "allod/v1/job.proto", "grpc/health/v1/health.proto"],
  { includeDirs, keepCase: true, longs: String, enums: String, defaults: true, oneofs: true });
const loaded = grpc.loadPackageDefinition(definition);
const pem = (name) => (process.env[name] ? fs.readFileSync(process.env[name]) : null);
const credentials = process.env.TLS_CA
  ? grpc.credentials.createSsl(pem("TLS_CA"), pem("TLS_KEY"), pem("TLS_CERT"))
  : grpc.credentials.createInsecure();
const apps = new loaded.allod.v1.AppService(address, credentials);
const jobs = new loaded.allod.v1.JobService(address, credentials);
const health = new loaded.grpc.health.v1.Health(address, credentials);

function metadata(key, team) {
  const made = new grpc.Metadata();
  if (key) made.set("x-api-key", key);
  if (team) made.set("x-team-id", team);
  return made;
}

const deadline = () => ({ deadline: Date.now() + 60000 });

function call(client, method, request, meta = metadata(key), options = deadline()) {
  return new Promise((resolve) => client[method](request, meta, options, (error, reply) => {
    if (!error) return resolve(reply);
    const details = error.metadata && error.metadata.get("grpc-status-details-bin")[0];
    resolve({ error: { code: grpc.status[error.code], details: error.details, status: details ? details.toString("base64") : null } });
  }));
}

const app = {
  name: "from node",
  configuration: { gpu_tier: "GPU_TIER_PERFORMANCE", active_workers: 2 },
  workflow: {
    model_url: "https://example.com/model",
    loras: [{ id: "l1", version_id: "v1", download_url: "https://example.com/l1", name: "one", weight: 0.25 }],
    tools: '{"seed":123456789012345678901234567890}',
  },
};

async function main() {
  const seen = {};
  seen.health = await call(health, "Check", {}, metadata());
  seen.created = await call(apps, "CreateApp", { app });
  const id = seen.created.id;
  seen.got = await call(apps, "GetApp", { id });
  seen.updated = await call(apps, "UpdateApp", { app: { id, name: "renamed" }, update_mask: { paths: ["name"] } });
  seen.job = await call(jobs, "RunJob", { app_id: id, input: '{"prompt":"h\u00e9llo"}' });
  seen.read_job = await call(jobs, "GetJob", { app_id: id, id: seen.job.id });
  seen.jobs = await call(jobs, "ListJobs", { app_id: id });
  seen.canceled = await call(jobs, "CancelJob", { app_id: id, id: seen.job.id });
  seen.team_app = await call(apps, "CreateApp", { app }, metadata(key, team));
  seen.listed = await call(apps, "ListApps", { page_size: 1 });
  seen.parallel = (await Promise.all(Array.from({ length: 300 }, () => call(apps, "GetApp", { id })))).filter((one) => one.id === id).length;
  seen.errors = {
    no_key: await call(apps, "GetApp", { id }, metadata()),
    bad_team: await call(apps, "GetApp", { id }, metadata(key, "null")),
    stranger_in_team: await call(apps, "GetApp", { id }, metadata(strangersKey, team)),
    stranger: await call(apps, "GetApp", { id }, metadata(strangersKey)),
    bad_argument: await call(apps, "CreateApp", { app: { ...app, name: "" } }),
    too_large: await call(jobs, "RunJob", { app_id: id, input: `{"x":"${"y".repeat(5 << 20)}"}` }),
    deadline: await call(apps, "GetApp", { id }, metadata(key), { deadline: Date.now() - 1000 }),
  };
  seen.deleted = await call(apps, "DeleteApp", { id });
  seen.errors.gone = await call(apps, "GetApp", { id });
  seen.after = await call(apps, "GetApp", { id: seen.team_app.id }, metadata(key, team));
  console.log(JSON.stringify(seen));
  for (const client of [apps, jobs, health]) client.close();
}

main();
