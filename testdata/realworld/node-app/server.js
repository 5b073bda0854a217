// Serves a span of time in words; --once asks itself and ends.
const http = require("http");
const span = require("./span");

const server = http.createServer((request, response) => response.end(span(request.url.slice(1)) + "\n"));
server.listen(3000, () => {
  if (process.argv[2] !== "--once") return;
  http.get("http://127.0.0.1:3000/86400000", (response) => {
    response.on("data", (data) => process.stdout.write(data));
    response.on("end", () => {
      console.log(process.env.NODE_ENV, process.getuid(), require("fs").existsSync("test"));
      server.close();
    });
  });
});
