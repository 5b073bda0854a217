const ms = require("ms");

module.exports = (text) => `${text} ms are ${ms(Number(text), { long: true })}`;
