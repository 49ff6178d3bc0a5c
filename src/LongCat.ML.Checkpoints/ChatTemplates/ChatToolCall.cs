using System.Text.Json;

namespace LongCat.ML.Checkpoints;

/// <summary>A call of a tool inside an assistant's message. A template sees <c>{id, type: "function", function: {name, arguments}}</c>.</summary>
/// <param name="Name">The tool's name.</param>
/// <param name="Arguments">The arguments: an object for most templates (LongCat among them), a string of JSON for the few that print it as it is.</param>
/// <param name="Id">The call's id; null leaves it out.</param>
public sealed record ChatToolCall(string Name, JsonElement Arguments, string? Id = null);
