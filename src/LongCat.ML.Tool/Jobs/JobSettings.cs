using System.Text.Json;
using LongCat.ML.Checkpoints;
using LongCat.ML.Tool.Commands;

namespace LongCat.ML.Tool.Jobs;

/// <summary>What decides the results of a job besides its rows, in words that workers compare. How many rows are in flight and how many threads there are is not part of it.</summary>
internal static class JobSettings
{
    public static string[] Of(string model, AdapterSelection adapters, string mode, IEnumerable<(string Name, object? Value)> options) =>
    [
        $"model: {ModelManifest.Read(model).ContentHash}",
        $"mode: {mode}",
        .. options.Where(option => option.Value is not null).Select(option => $"{option.Name}: {JsonSerializer.Serialize(option.Value)}"),
        .. adapters.Adapters.OrderBy(pair => pair.Key, StringComparer.Ordinal).Select(pair => $"adapter {JsonSerializer.Serialize(pair.Key)}: {Hash(pair.Value)}"),
        .. adapters.Adapters.Count == 0 ? Array.Empty<string>() : [$"adapter in use: {JsonSerializer.Serialize(adapters.Use)}, column: {JsonSerializer.Serialize(adapters.Column)}"],
    ];

    private static string Hash(string folder)
    {
        using PeftAdapter adapter = PeftAdapter.Load(folder);
        return adapter.ContentHash;
    }
}
