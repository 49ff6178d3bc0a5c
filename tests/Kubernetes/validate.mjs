// Holds a manifest of a Job against the Kubernetes API as the project's own JavaScript client describes it (generated from the API's OpenAPI document):
// every key must be a field of its object, every value of the field's type, every required field there. Then what the API's validation asks of such a Job,
// and what its own parts ask of each other.
//
//   node validate.mjs CLIENT MANIFEST      CLIENT: the folder of the installed package @kubernetes/client-node
//
// Exit codes: 0, 1 with a line for each problem.
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';

const [client, manifest] = process.argv.slice(2).map((argument) => resolve(argument));
const models = join(client, 'dist', 'gen', 'models');
const yaml = createRequire(join(client, 'package.json'))('js-yaml');
const problems = [];
let fields = 0;

// The API's own plain types; everything else is the name of a model.
const plain = {
    string: (value) => typeof value === 'string',
    number: (value) => typeof value === 'number',
    boolean: (value) => typeof value === 'boolean',
    Date: (value) => value instanceof Date || typeof value === 'string',
    IntOrString: (value) => typeof value === 'string' || Number.isInteger(value),
    any: () => true,
    object: (value) => typeof value === 'object',
};

async function check(value, type, path) {
    fields++;
    let inner;
    if ((inner = /^Array<(.*)>$/.exec(type))) {
        if (!Array.isArray(value)) return problem(path, `expected a list of ${inner[1]}, got ${JSON.stringify(value)}`);
        for (let i = 0; i < value.length; i++) await check(value[i], inner[1], `${path}[${i}]`);
    } else if ((inner = /^\{ \[key: string\]: (.*); \}$/.exec(type))) {
        if (typeof value !== 'object' || value === null || Array.isArray(value)) return problem(path, `expected a map, got ${JSON.stringify(value)}`);
        for (const [key, item] of Object.entries(value)) await check(item, inner[1], `${path}.${key}`);
    } else if (plain[type]) {
        if (!plain[type](value)) problem(path, `expected ${type}, got ${JSON.stringify(value)}`);
    } else {
        if (typeof value !== 'object' || value === null || Array.isArray(value)) return problem(path, `expected an object (${type}), got ${JSON.stringify(value)}`);
        const model = (await import(pathToFileURL(join(models, `${type}.js`)).href))[type];
        const known = new Map(model.getAttributeTypeMap().map((field) => [field.baseName, field.type]));
        for (const [key, item] of Object.entries(value)) {
            if (known.has(key)) await check(item, known.get(key), `${path}.${key}`);
            else problem(path, `${type} has no field '${key}'; it has ${[...known.keys()].join(', ')}`);
        }
        const declared = readFileSync(join(models, `${type}.d.ts`), 'utf8');
        for (const [, field] of declared.matchAll(/^ {4}'(\w+)': /gm)) {
            const key = model.getAttributeTypeMap().find((one) => one.name === field)?.baseName ?? field;
            if (!(key in value)) problem(path, `${type} needs '${key}'`);
        }
    }
}

function problem(path, text) {
    problems.push(`${path}: ${text}`);
}

function ask(holds, path, text) {
    if (!holds) problem(path, text);
}

const documents = yaml.loadAll(readFileSync(manifest, 'utf8'), undefined, { schema: yaml.CORE_SCHEMA });
ask(documents.length === 1, 'manifest', `expected one document, got ${documents.length}`);
const job = documents[0];
ask(job.apiVersion === 'batch/v1' && job.kind === 'Job', 'manifest', `expected a Job of batch/v1, got ${job.kind} of ${job.apiVersion}`);
await check(job, 'V1Job', 'Job');

// What the server's validation asks beyond the fields (Job, "Validation" of the API reference).
const spec = job.spec, pod = spec.template.spec, container = pod.containers[0];
ask(spec.completionMode === 'Indexed', 'Job.spec', 'a completion index needs completionMode: Indexed');
ask(Number.isInteger(spec.completions) && spec.completions >= 1, 'Job.spec', 'an Indexed Job needs completions');
ask(spec.parallelism <= spec.completions, 'Job.spec', 'parallelism is more than completions');
ask(['Never', 'OnFailure'].includes(pod.restartPolicy), 'Job.spec.template', 'restartPolicy must be Never or OnFailure');
ask(spec.backoffLimitPerIndex === undefined || spec.completionMode === 'Indexed', 'Job.spec', 'backoffLimitPerIndex needs completionMode: Indexed');
ask(/^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/.test(job.metadata.name), 'Job.metadata', 'name must be a DNS label');
if (spec.podFailurePolicy) {
    ask(pod.restartPolicy === 'Never', 'Job.spec', 'podFailurePolicy needs restartPolicy: Never');
    for (const rule of spec.podFailurePolicy.rules) {
        ask(['FailJob', 'FailIndex', 'Ignore', 'Count'].includes(rule.action), 'podFailurePolicy', `unknown action ${rule.action}`);
        ask(rule.action !== 'FailIndex' || spec.backoffLimitPerIndex !== undefined, 'podFailurePolicy', 'FailIndex needs backoffLimitPerIndex');
        ask((rule.onExitCodes === undefined) !== (rule.onPodConditions === undefined), 'podFailurePolicy', 'a rule has either onExitCodes or onPodConditions');
        if (rule.onExitCodes) {
            const codes = rule.onExitCodes.values;
            ask(['In', 'NotIn'].includes(rule.onExitCodes.operator), 'podFailurePolicy', `unknown operator ${rule.onExitCodes.operator}`);
            ask(codes.every((code, i) => Number.isInteger(code) && (i === 0 || code > codes[i - 1])), 'podFailurePolicy', 'values must be ascending whole numbers');
            ask(rule.onExitCodes.operator !== 'In' || !codes.includes(0), 'podFailurePolicy', '0 is no failure');
            ask([undefined, ...pod.containers.map((one) => one.name)].includes(rule.onExitCodes.containerName), 'podFailurePolicy', 'containerName names no container');

            // Ours: 75 says try again, so no rule may end an index for it.
            ask(rule.action !== 'FailIndex' || !codes.includes(75), 'podFailurePolicy', 'exit code 75 means try again');
        }
    }
}
const volumes = (pod.volumes ?? []).map((volume) => volume.name);
for (const mount of container.volumeMounts ?? []) ask(volumes.includes(mount.name), 'volumeMounts', `no volume has the name ${mount.name}`);

// Ours: the worker reads how many there are from the environment, and reads and writes on the mounted claim.
const count = (container.env ?? []).find((variable) => variable.name === 'JOB_COMPLETION_COUNT')?.value;
ask(count === String(spec.completions), 'env', `JOB_COMPLETION_COUNT is ${count}, completions ${spec.completions}`);
const words = container.command, output = words[words.indexOf('--output') + 1];
ask(words[0] === 'longcat' && words[1] === 'score', 'command', 'expected longcat score');
ask(output.endsWith('/'), 'command', `--output ${output} is no folder`);
for (const path of words.filter((word) => word.startsWith('/'))) ask((container.volumeMounts ?? []).some((mount) => path.startsWith(mount.mountPath + '/')), 'command', `${path} lies on no mounted volume`);

for (const line of problems) console.error(`error: ${line}`);
if (problems.length > 0) process.exit(1);
const { version } = JSON.parse(readFileSync(join(client, 'package.json'), 'utf8'));
console.log(`passed: ${fields} fields of ${manifest.split('/').pop()} against @kubernetes/client-node ${version}`);
