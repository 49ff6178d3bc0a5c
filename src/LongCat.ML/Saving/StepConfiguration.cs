using System.Text.Json;
using System.Text.Json.Serialization;
using LongCat.ML.Models;
using LongCat.ML.Steps;

namespace LongCat.ML.Saving;

/// <summary>
/// A step and its model as a saved pipeline carries them: JSON in a constant column.
/// Version 2 is version 1 with <c>adapters</c> (<c>name</c>, <c>content_hash</c>, <c>path</c> of each); it is written where a step has some, so that a reader that would ignore them refuses.
/// Version 1: <c>format_version</c>, <c>step</c>, <c>content_hash</c>, <c>path</c>, <c>options</c> (snake_case names of the options class; a missing one has its default), for Embed <c>hidden_size</c>.
/// </summary>
internal static class StepConfiguration
{
    /// <summary>The latest version that is read; steps without adapters are written as version 1.</summary>
    public const int CurrentVersion = 2;

    private static readonly JsonSerializerOptions Json = new()
    {
        PropertyNamingPolicy = JsonNamingPolicy.SnakeCaseLower,
        Converters = { new JsonStringEnumConverter(JsonNamingPolicy.SnakeCaseLower) },
    };

    private sealed record Document(int FormatVersion, string Step, string ContentHash, string Path, JsonElement Options)
    {
        // What a step must know of the model before it is opened: Embed, the size of its vectors.
        [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
        public int? HiddenSize { get; init; }

        [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
        public AdapterDocument[]? Adapters { get; init; }
    }

    private sealed record AdapterDocument(string Name, string ContentHash, string Path);

    public static string Write(RowStep step, ModelReference model) => JsonSerializer.Serialize(
        new Document(model.Adapters.Count > 0 ? 2 : 1, step.Name, model.ContentHash, model.Path, JsonSerializer.SerializeToElement(step.Options, step.Options.GetType(), Json))
        {
            HiddenSize = (step as EmbedStep)?.HiddenSize,
            Adapters = model.Adapters.Count == 0 ? null : [.. model.Adapters.Select(adapter => new AdapterDocument(adapter.Name, adapter.Adapter.ContentHash, adapter.Adapter.Path))],
        },
        Json);

    /// <exception cref="FormatException">The text is no configuration of a version that this library reads.</exception>
    public static (RowStep Step, ModelReference Model) Read(string json)
    {
        try
        {
            using JsonDocument version = JsonDocument.Parse(json);
            int found = version.RootElement.GetProperty("format_version").GetInt32();
            if (found is < 1 or > CurrentVersion)
            {
                throw new FormatException($"The pipeline was saved in format {found}; this version of LongCat.ML reads up to {CurrentVersion}. Use the version that saved it, or a newer one.");
            }

            Document document = JsonSerializer.Deserialize<Document>(json, Json)!;
            RowStep step = document.Step switch
            {
                GenerateStep.StepName => new GenerateStep(Options<GenerateOptions>(document)),
                ScoreStep.StepName => new ScoreStep(Options<ScoreOptions>(document)),
                ClassifyStep.StepName => new ClassifyStep(Options<ClassifyOptions>(document)),
                EmbedStep.StepName => new EmbedStep(Options<EmbedOptions>(document), document.HiddenSize ?? throw new JsonException("hidden_size is missing")),
                TokenizeStep.StepName => new TokenizeStep(Options<TokenizeOptions>(document)),
                _ => throw new FormatException($"The pipeline has the step '{document.Step}', which this version of LongCat.ML does not know."),
            };
            return (step, new ModelReference(step.ModelKind, document.ContentHash, document.Path)
            {
                Adapters = [.. (document.Adapters ?? []).Select(adapter => (adapter.Name, new ModelReference(ModelKind.Adapter, adapter.ContentHash, adapter.Path)))],
            });
        }
        catch (Exception exception) when (exception is JsonException or KeyNotFoundException or InvalidOperationException or ArgumentException)
        {
            throw new FormatException($"The configuration of a LongCat step in the pipeline is damaged: {exception.Message}", exception);
        }
    }

    private static T Options<T>(Document document)
        where T : StepOptions
    {
        T options = document.Options.Deserialize<T>(Json) ?? throw new JsonException("the options are null");
        options.ModelFolder = document.Path;
        options.Engine = options.Engine with { Adapters = (document.Adapters ?? []).ToDictionary(adapter => adapter.Name, adapter => adapter.Path) };
        options.Validate();
        return options;
    }
}
