using System.CommandLine;
using LongCat.ML.CommandLine;
using LongCat.ML.Training.Tool.Commands;

RootCommand root = new("longcat-train: the verbs that train and run LongCat models as TorchSharp modules.")
{
    CorpusCommand.Create(),
    TokenizerCommand.Create(),
    PretrainCommand.Create(),
    LoraCommand.Create(),
    DraftCommand.Create(),
    ZigZagCommand.Create(),
    EvaluateCommand.Create(),
    LogitsCommand.Create(),
};
return await CommandHost.RunAsync(root, args);
