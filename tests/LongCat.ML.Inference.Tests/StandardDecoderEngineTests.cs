using LongCat.ML.Checkpoints;
using LongCat.ML.Onnx;
using LongCat.ML.TestShared;

namespace LongCat.ML.Inference.Tests;

/// <summary>The decoder families in the engine: with standard operators the same ids as with the longcat operators.</summary>
public sealed class StandardDecoderEngineTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public static TheoryData<string> Models => [.. RandomDecoder.Models.Keys];

    public void Dispose() => _folder.Dispose();

    [Theory]
    [MemberData(nameof(Models))]
    public async Task Requests_together_give_the_same_ids_with_both_sets_of_operators(string name)
    {
        string checkpoint = RandomDecoder.Write(_folder["in"], RandomDecoder.Models[name] with { HeadDim = 16 });
        IReadOnlyList<int>[] expected = await Generate(checkpoint, OperatorSet.LongCat);
        Assert.Equal(expected, await Generate(checkpoint, OperatorSet.Standard));
    }

    private async Task<IReadOnlyList<int>[]> Generate(string checkpoint, OperatorSet operators)
    {
        string folder = OnnxExporter.Export(checkpoint, _folder[operators.ToString()], new ExportOptions { Operators = operators, Precision = WeightPrecision.F32 }).Folder;
        await using InferenceEngine engine = InferenceEngine.Load(folder, new EngineOptions { MaxStepTokens = 21, MaxSequences = 3 });
        Random random = new(5);
        Task<GenerationResult>[] tasks = [.. Enumerable.Range(0, 7).Select(i => engine.GenerateAsync(new GenerationRequest
        {
            PromptIds = [.. Enumerable.Range(0, random.Next(1, 20)).Select(_ => random.Next(3, 272))],
            Options = new GenerationOptions { MaxNewTokens = random.Next(1, 20), IgnoreEos = true },
        }))];
        return [.. (await Task.WhenAll(tasks)).Select(result => result.Ids)];
    }
}
