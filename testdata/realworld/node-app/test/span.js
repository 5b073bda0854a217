const assert = require("nanoassert");
const span = require("../span");

assert(span("60000") === "60000 ms are 1 minute");
