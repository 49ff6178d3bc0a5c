using System.Collections.Concurrent;
using LongCat.ML.Checkpoints;
using LongCat.ML.TestShared;

namespace LongCat.ML.Onnx.Tests;

/// <summary>The golden checkpoints as ONNX folders, each exported once.</summary>
public sealed class ExportedFixtures : IDisposable
{
    private readonly TemporaryFolder _folder = new();
    private readonly ConcurrentDictionary<(string, WeightPrecision), string> _exports = new();

    /// <summary>The export of a fixture.</summary>
    public string Folder(string fixture, WeightPrecision precision = WeightPrecision.F32) =>
        _exports.GetOrAdd((fixture, precision), key =>
            OnnxExporter.Export(GoldenFixtures.Path(key.Item1), _folder[$"{key.Item1}-{key.Item2}"], new ExportOptions { Precision = key.Item2 }).Folder);

    /// <inheritdoc/>
    public void Dispose() => _folder.Dispose();
}
