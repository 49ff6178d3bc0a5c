using Xunit.Abstractions;

namespace LongCat.ML.RepositoryTests.Samples;

public sealed class OnnxExportTests(ITestOutputHelper output)
{
    [Fact]
    public async Task The_exported_folder_gives_the_same_tokens_in_plain_OnnxRuntime_and_in_the_engine()
    {
        string printed = await SampleProcess.RunAsync(output, "OnnxExport");
        Assert.Contains("the tokens are the same", printed, StringComparison.Ordinal);
        Assert.Contains("model.onnx.data", printed, StringComparison.Ordinal);
        Assert.Contains("block_table: Int32 [S, B]", printed, StringComparison.Ordinal);

        // A completion, not only its prompt: the model writes a summary and the namespace line after a signature.
        Assert.Contains("Namespace: System", printed, StringComparison.Ordinal);
    }
}
