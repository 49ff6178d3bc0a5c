using System.Collections.Concurrent;
using LongCat.ML.Checkpoints;
using LongCat.ML.TestShared;

namespace LongCat.ML.Onnx.Tests;

/// <summary>The golden checkpoints exported with standard operators, each once.</summary>
public sealed class StandardExports : IDisposable
{
    private readonly TemporaryFolder _folder = new();
    private readonly ConcurrentDictionary<string, string> _exports = new();

    /// <summary>The export of a fixture.</summary>
    public string Folder(string fixture) => _exports.GetOrAdd(
        fixture, name => OnnxExporter.Export(GoldenFixtures.Path(name), _folder[name], new ExportOptions { Operators = OperatorSet.Standard }).Folder);

    /// <inheritdoc/>
    public void Dispose() => _folder.Dispose();
}
