using LongCat.ML.Checkpoints;
using LongCat.ML.Inference.Chat;
using LongCat.ML.Onnx;
using LongCat.ML.TestShared;
using Microsoft.Extensions.AI;
using Microsoft.Extensions.DependencyInjection;

namespace LongCat.ML.Inference.Tests.Chat;

/// <summary>Chat clients and embedding generators over exported folders, alone and from a service collection.</summary>
public sealed class ChatFolderTests(ExportedModel exported) : IClassFixture<ExportedModel>
{
    [Fact]
    public async Task A_folder_with_a_template_chats()
    {
        using TemporaryFolder folder = new();
        string model = Copy(folder, """{"do_sample": true, "temperature": 0.7, "top_p": 0.8, "top_k": 20, "eos_token_id": [2, 3]}""");
        using LongCatChatClient client = LongCatChatClient.Load(model, new EngineOptions { Threads = 1 });

        ChatResponse response = await client.GetResponseAsync("Hello", new ChatOptions { MaxOutputTokens = 8, Seed = 3 });

        Assert.InRange(response.Usage!.OutputTokenCount!.Value, 1, 8);
        Assert.Equal("model", response.ModelId);
        Assert.Equal(response.Text, (await client.GetResponseAsync("Hello", new ChatOptions { MaxOutputTokens = 8, Seed = 3 })).Text);
    }

    [Fact]
    public void Defaults_of_the_folder_fill_what_is_open()
    {
        using TemporaryFolder folder = new();
        File.WriteAllText(folder["generation_config.json"], """{"do_sample": true, "temperature": 0.6, "top_p": 0.95, "eos_token_id": [7, 9]}""");
        LongCatChatClientOptions filled = LongCat.ML.Inference.Chat.Prompts.GenerationDefaults.Fill(new LongCatChatClientOptions { StopTokenIds = [5] }, folder[""]);
        Assert.Equal((0.6f, 0.95f, 0, 2048), (filled.Generation.Temperature, filled.Generation.TopP, filled.Generation.TopK, filled.Generation.MaxNewTokens));
        Assert.Equal([5, 7, 9], filled.StopTokenIds);
        GenerationOptions own = new() { Temperature = 0.1f };
        Assert.Same(own, LongCat.ML.Inference.Chat.Prompts.GenerationDefaults.Fill(new LongCatChatClientOptions { Generation = own }, folder[""]).Generation);
        File.WriteAllText(folder["generation_config.json"], """{"do_sample": true, "temperature": "warm"}""");
        CheckpointException error = Assert.Throws<CheckpointException>(() => LongCat.ML.Inference.Chat.Prompts.GenerationDefaults.Fill(new LongCatChatClientOptions(), folder[""]));
        Assert.Contains("temperature", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_folder_without_a_template_is_refused_by_name()
    {
        CheckpointException error = Assert.Throws<CheckpointException>(() => LongCatChatClient.Load(exported.Folder));
        Assert.Contains("holds no chat template", error.Message, StringComparison.Ordinal);
        using TemporaryFolder folder = new();
        error = Assert.Throws<CheckpointException>(() => LongCatChatClient.Load(folder["missing"]));
        Assert.DoesNotContain("template", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Services_share_one_engine()
    {
        using TemporaryFolder folder = new();
        string model = Copy(folder, "{}");
        ServiceCollection services = new();
        services.AddLongCatChatClient(model, new EngineOptions { Threads = 1 }).AddLongCatEmbeddingGenerator(model);
        await using ServiceProvider provider = services.BuildServiceProvider();

        IChatClient client = provider.GetRequiredService<IChatClient>();
        IEmbeddingGenerator<string, Embedding<float>> generator = provider.GetRequiredService<IEmbeddingGenerator<string, Embedding<float>>>();

        Assert.Same(provider.GetRequiredService<InferenceEngine>(), client.GetService<InferenceEngine>());
        Assert.Same(client.GetService<InferenceEngine>(), generator.GetService<InferenceEngine>());
        Assert.Single(services, service => service.ServiceType == typeof(InferenceEngine));
        Assert.NotEmpty((await generator.GenerateAsync(["a text"]))[0].Vector.ToArray());
    }

    [Fact]
    public async Task Several_models_have_keys_and_another_models_engine_is_refused()
    {
        using TemporaryFolder folder = new();
        string second = OnnxExporter.Export(RandomCheckpoint.Write(folder["checkpoint"], new RandomCheckpointOptions { Seed = 2, Tokenizer = true }), folder["onnx"]).Folder;
        string model = Copy(folder, "{}"), other = Copy(folder, "{}", "other", second);
        ServiceCollection wrong = new();
        wrong.AddLongCatChatClient(model, new EngineOptions { Threads = 1 }).AddLongCatEmbeddingGenerator(other);
        await using (ServiceProvider provider = wrong.BuildServiceProvider())
        {
            Assert.NotNull(provider.GetRequiredService<IChatClient>());
            InvalidOperationException error = Assert.Throws<InvalidOperationException>(provider.GetRequiredService<IEmbeddingGenerator<string, Embedding<float>>>);
            Assert.Contains("under keys of their own", error.Message, StringComparison.Ordinal);
            Assert.Contains(other, error.Message, StringComparison.Ordinal);
        }

        ServiceCollection services = new();
        services.AddKeyedLongCatChatClient("one", model, new EngineOptions { Threads = 1 })
            .AddKeyedLongCatChatClient("two", other, new EngineOptions { Threads = 1 }, new LongCatChatClientOptions { ModelId = "second" })
            .AddKeyedLongCatEmbeddingGenerator("two", other)
            .AddLongCatChatClient(model, new EngineOptions { Threads = 1 });
        InferenceEngine[] engines;
        await using (ServiceProvider provider = services.BuildServiceProvider())
        {
            IChatClient one = provider.GetRequiredKeyedService<IChatClient>("one"), two = provider.GetRequiredKeyedService<IChatClient>("two"), plain = provider.GetRequiredService<IChatClient>();
            engines = [.. new[] { one, two, plain }.Select(client => client.GetService<InferenceEngine>()!)];
            Assert.Equal(3, engines.Distinct().Count());
            Assert.Same(engines[1], provider.GetRequiredKeyedService<IEmbeddingGenerator<string, Embedding<float>>>("two").GetService<InferenceEngine>());
            Assert.Equal(("model", "second"), ((await one.GetResponseAsync("Q", new ChatOptions { MaxOutputTokens = 1 })).ModelId, (await two.GetResponseAsync("Q", new ChatOptions { MaxOutputTokens = 1 })).ModelId));

            // A scope has no client of its own, and its end ends none.
            using (IServiceScope scope = provider.CreateScope())
            {
                Assert.Same(plain, scope.ServiceProvider.GetRequiredService<IChatClient>());
            }

            Assert.NotNull(await plain.GetResponseAsync("Q", new ChatOptions { MaxOutputTokens = 1 }));
        }

        // The provider's end ends the engines.
        foreach (InferenceEngine engine in engines)
        {
            await Assert.ThrowsAsync<ObjectDisposedException>(() => engine.LogitsAsync([1]));
        }
    }

    private string Copy(TemporaryFolder folder, string generation) => Copy(folder, generation, "model", exported.Folder);

    private static string Copy(TemporaryFolder folder, string generation, string name, string from)
    {
        string model = Directory.CreateDirectory(folder[name]).FullName;
        foreach (string file in Directory.GetFiles(from))
        {
            File.Copy(file, Path.Combine(model, Path.GetFileName(file)));
        }

        File.WriteAllText(Path.Combine(model, "chat_template.jinja"), ChatTemplates.LongCatSource);
        File.WriteAllText(Path.Combine(model, "generation_config.json"), generation);
        return model;
    }
}
