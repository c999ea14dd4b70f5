// Writes the outputs of ONNX Runtime that the test compares with:
//   npm install onnxruntime-node@1.30.0 && node golden.mjs MODEL.onnx OUT.f32
// The three inputs are the ones that the test makes.
import ort from 'onnxruntime-node'
import { writeFileSync } from 'node:fs'

const [model, out] = process.argv.slice(2)
const session = await ort.InferenceSession.create(model, { intraOpNumThreads: 1, interOpNumThreads: 1 })
const W = 160, H = 96
const picture = (value) => {
  const data = new Float32Array(3 * H * W)
  let i = 0
  for (let c = 0; c < 3; c++) for (let y = 0; y < H; y++) for (let x = 0; x < W; x++) data[i++] = Math.fround(value(c, y, x) / 255)
  return data
}
let state = 1
const pictures = [
  picture((c, y, x) => (x + 2 * y * (c + 1)) % 256),
  picture((c, y, x) => ((x - 110) ** 2 + (y - 30) ** 2 < 150 ? 230 - 60 * c : 40 + 20 * c)),
  picture(() => (state = (state * 75 + 74) % 65537) % 256),
]
const results = []
for (const data of pictures) {
  const { logdens } = await session.run({ rgb01: new ort.Tensor('float32', data, [1, 3, H, W]) })
  results.push(...logdens.data)
}
writeFileSync(out, Buffer.from(Float32Array.from(results).buffer))
const began = performance.now()
for (let i = 0; i < 200; i++) await session.run({ rgb01: new ort.Tensor('float32', pictures[0], [1, 3, H, W]) })
console.log(((performance.now() - began) / 200).toFixed(3), 'ms a picture')
