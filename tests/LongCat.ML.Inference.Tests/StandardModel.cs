using LongCat.ML.Checkpoints;
using LongCat.ML.Onnx;
using LongCat.ML.TestShared;

namespace LongCat.ML.Inference.Tests;

/// <summary>One random LongCat-Flash-Lite and longcat-nano, each exported with both sets of operators, in float32.</summary>
public sealed class StandardModel : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public StandardModel()
    {
        string random = RandomCheckpoint.Write(_folder["checkpoint"], new RandomCheckpointOptions { Layers = 2, Tokenizer = true });
        string nano = Nano();
        Random = (Export(random, "random", OperatorSet.LongCat), Export(random, "random", OperatorSet.Standard));
        NanoInFourBits = OnnxExporter.Export(nano, _folder["nano-int4"], new ExportOptions { Operators = OperatorSet.Standard, Precision = WeightPrecision.Int4 }).Folder;
        LongcatNano = (Export(nano, "nano", OperatorSet.LongCat), Export(nano, "nano", OperatorSet.Standard));
    }

    public (string LongCat, string Standard) Random { get; }

    public (string LongCat, string Standard) LongcatNano { get; }

    public string NanoInFourBits { get; }

    public void Dispose() => _folder.Dispose();

    private string Export(string checkpoint, string name, OperatorSet operators) =>
        OnnxExporter.Export(checkpoint, _folder[$"{name}-{operators}"], new ExportOptions { Operators = operators, Precision = WeightPrecision.F32 }).Folder;

    private static string Nano()
    {
        string? folder = AppContext.BaseDirectory;
        while (folder is not null && !Directory.Exists(Path.Combine(folder, "samples", "models", "longcat-nano")))
        {
            folder = Path.GetDirectoryName(folder);
        }

        return Path.Combine(folder ?? throw new DirectoryNotFoundException("no folder above the tests holds samples/models/longcat-nano"), "samples", "models", "longcat-nano");
    }
}
