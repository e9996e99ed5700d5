// SPDX-License-Identifier: Apache-2.0
// node validate.js DIRECTORY: reads a JSON list of Kubernetes objects and prints as many lists of what is wrong with each.
// DIRECTORY is where `npm ci` has put the schemas. An API server refuses unknown fields (`kubectl apply` asks it to); these
// validators do not, but they look at each field that they know. So what they never looked at is unknown.
const fs = require("fs");
const {pathToFileURL} = require("url");

const HOME = `${process.argv[2]}/node_modules`;
const OTHERS = {"monitoring.coreos.com/v1": "@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1/index.js"};

function watched(value, path, seen) {
  if (value === null || typeof value !== "object") return value;
  return new Proxy(value, {
    get(target, name) {
      if (typeof name === "symbol" || !Object.hasOwn(target, name)) return target[name];
      seen.add(`${path}/${name}`);
      return watched(target[name], `${path}/${name}`, seen);
    },
  });
}

function unseen(value, path, seen) {
  if (value === null || typeof value !== "object") return [];
  return Object.keys(value).flatMap((name) => {
    const inner = `${path}/${name}`;
    return seen.has(inner) ? unseen(value[name], inner, seen) : [`${inner} unknown field`];
  });
}

async function faults(object) {
  const {apiVersion, kind} = object;
  const place = OTHERS[apiVersion] || `kubernetes-models/${apiVersion}/index.mjs`;
  const Model = (await import(pathToFileURL(`${HOME}/${place}`)))[kind];
  if (!Model) return [`no schema for ${apiVersion} ${kind}`];
  const seen = new Set(["/apiVersion", "/kind"]);
  try {
    Model.prototype.validate.call(watched(object, "", seen));
  } catch (error) {
    if (!error.errors) throw error;
    return error.errors.map((one) => `${one.instancePath} ${one.message} ${JSON.stringify(one.params)}`);
  }
  return unseen(object, "", seen);
}

const objects = JSON.parse(fs.readFileSync(0, "utf8"));
Promise.all(objects.map(faults)).then((found) => process.stdout.write(JSON.stringify(found)));
