using LongCat.ML.Inference.Chat;
using LongCat.ML.Inference.Chat.Telemetry;
using Microsoft.Extensions.AI;

namespace LongCat.ML.Inference.Tests.Chat;

/// <summary>The embedding generator gives what the engine gives, in the order of the texts.</summary>
public sealed class LongCatEmbeddingGeneratorTests
{
    [Fact]
    public async Task Vectors_usage_and_metadata()
    {
        using InferenceEngine engine = new ScriptedModel(256, 8).Engine();
        using LongCatEmbeddingGenerator generator = new(engine, modelId: "m");

        GeneratedEmbeddings<Embedding<float>> embeddings = await generator.GenerateAsync(["abc", "", "Grüezi"]);

        Assert.Equal(3, embeddings.Count);
        foreach ((string text, Embedding<float> embedding) in new[] { "abc", "", "Grüezi" }.Zip(embeddings))
        {
            Assert.Equal((await engine.EmbedAsync(new EmbeddingRequest { Text = text })).Vector, embedding.Vector.ToArray());
            Assert.Equal("m", embedding.ModelId);
        }

        Assert.Equal(3 + 1 + 7, embeddings.Usage!.InputTokenCount);
        EmbeddingGeneratorMetadata metadata = generator.GetService<EmbeddingGeneratorMetadata>()!;
        Assert.Equal((LongCatTelemetry.ProviderName, "m", 3), (metadata.ProviderName, metadata.DefaultModelId, metadata.DefaultModelDimensions));
        Assert.Empty(await generator.GenerateAsync([]));
    }

    [Fact]
    public async Task Pooling_by_default_and_by_request()
    {
        using InferenceEngine engine = new ScriptedModel(256, 8).Engine();
        EmbeddingRequest last = new() { Pooling = EmbeddingPooling.LastToken, Normalize = false };
        using LongCatEmbeddingGenerator generator = new(engine, last);
        float[] expected = (await engine.EmbedAsync(last with { Text = "ab" })).Vector;
        Assert.Equal(expected, (await generator.GenerateAsync(["ab"]))[0].Vector.ToArray());
        EmbeddingGenerationOptions mean = new() { RawRepresentationFactory = _ => new EmbeddingRequest() };
        Assert.Equal((await engine.EmbedAsync(new EmbeddingRequest { Text = "ab" })).Vector, (await generator.GenerateAsync(["ab"], mean))[0].Vector.ToArray());
    }

    [Fact]
    public async Task What_cannot_be_done_is_named()
    {
        using InferenceEngine engine = new ScriptedModel(256, 8).Engine(maxPositions: 64);
        using LongCatEmbeddingGenerator generator = new(engine);
        Assert.Contains("Dimensions is 2", (await Assert.ThrowsAsync<NotSupportedException>(() => generator.GenerateAsync(["a"], new() { Dimensions = 2 }))).Message, StringComparison.Ordinal);
        Assert.Contains("index 1", (await Assert.ThrowsAsync<ArgumentException>(() => generator.GenerateAsync(["a", null!]))).Message, StringComparison.Ordinal);
        Assert.Contains("'other'", (await Assert.ThrowsAsync<InferenceException>(() => generator.GenerateAsync(["a"], new() { ModelId = "other" }))).Message, StringComparison.Ordinal);
        Assert.Contains("70 tokens", (await Assert.ThrowsAsync<InferenceException>(() => generator.GenerateAsync(["a", new string('x', 70)]))).Message, StringComparison.Ordinal);
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => generator.GenerateAsync(["a"], cancellationToken: new CancellationToken(canceled: true)));
    }
}
