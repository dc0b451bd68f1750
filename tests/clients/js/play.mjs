// Plays steps with a package and tells what came out, as one line of JSON:
//   node play.mjs PACKAGE URL STEP...
// A step that fails tells what was thrown. `leave` says "first" on stderr when an answer has begun.

const [name, url, ...wanted] = process.argv.slice(2);
const [file, way] = name.split(":");
const steps = (await import(`./${file}.mjs`)).steps(url, way);
const told = {};
for (const step of wanted) {
  try {
    told[step] = await steps[step]();
  } catch (error) {
    told[step] = { thrown: error.name, status: error.status ?? error.status_code ?? error.statusCode ?? null, message: error.message };
  }
}
process.stdout.write(JSON.stringify(told));
process.exit(0);
