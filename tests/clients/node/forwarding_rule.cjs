// The official client for Node.js makes a forwarding rule and finds it in the lists.

const assert = require('node:assert/strict');
const {
  BackendServicesClient,
  ForwardingRulesClient,
  RegionBackendServicesClient,
  RegionOperationsClient,
} = require('@google-cloud/compute');
const {PassThroughClient} = require('google-auth-library');

const PROJECT = 'node';
const REGION = 'north-1';
const VIP = '10.66.0.77';
const HOST = 'https://www.googleapis.com/compute/v1/';

const options = {
  ...endpoint(new URL(process.env.LB_API)),
  authClient: new PassThroughClient(),
};
const services = new RegionBackendServicesClient(options);
const rules = new ForwardingRulesClient(options);
const operations = new RegionOperationsClient(options);
const place = {project: PROJECT, region: REGION};

function endpoint(url) {
  return {apiEndpoint: url.hostname, port: Number(url.port), protocol: url.protocol.replace(':', '')};
}

// The answer to a change is an operation, which `wait` answers with when it is done.
async function done([answer]) {
  const [waited] = await operations.wait({...place, operation: answer.latestResponse.name});
  assert.equal(waited.status, 'DONE');
  assert.equal(waited.error ?? null, null);
}

async function main() {
  const backendServiceResource = {name: 'web', protocol: 'TCP', loadBalancingScheme: 'INTERNAL'};
  await done(await services.insert({...place, backendServiceResource}));
  const forwardingRuleResource = {
    name: 'vip',
    IPAddress: VIP,
    IPProtocol: 'TCP',
    ports: ['80', '443'],
    loadBalancingScheme: 'INTERNAL',
    backendService: `projects/${PROJECT}/regions/${REGION}/backendServices/web`,
  };
  await done(await rules.insert({...place, forwardingRuleResource}));

  const [found] = await rules.list(place);
  assert.deepEqual(
    found.map(rule => [rule.name, rule.IPAddress, rule.ports.sort()]),
    [['vip', VIP, ['443', '80']]],
  );
  assert.equal(found[0].backendService, `${HOST}projects/${PROJECT}/regions/${REGION}/backendServices/web`);

  const scopes = {};
  for await (const [scope, inside] of rules.aggregatedListAsync({project: PROJECT})) {
    scopes[scope] = inside.forwardingRules.map(rule => rule.name);
  }
  assert.deepEqual(scopes[`regions/${REGION}`], ['vip']);

  await assert.rejects(rules.insert({...place, forwardingRuleResource}), /already exists/);
  await assert.rejects(services.delete({...place, backendService: 'web'}), /in use|being used/);
  await done(await rules.delete({...place, forwardingRule: 'vip'}));
  await done(await services.delete({...place, backendService: 'web'}));
  const [none] = await rules.list(place);
  assert.deepEqual(none, []);
}

main().catch(error => {
  console.error(error);
  process.exitCode = 1;
});
