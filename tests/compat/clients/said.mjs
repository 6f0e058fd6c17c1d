// What the clients have in common: the tool that they offer, and how they tell what they were told.
export const QUESTION = "What is the capital of France?";
export const TOOLS = [
  {
    type: "function",
    function: {
      name: "weather",
      description: "Weather of a city",
      parameters: { type: "object", properties: { city: { type: "string" } }, required: ["city"] },
    },
  },
];
export const report = (said) => console.log(JSON.stringify(said));
